"""Keep bytes by their digest: a port with two adapters that keep the same promise."""

from onecode_common.objects.directory import DirectoryObjects
from onecode_common.objects.port import Objects
from onecode_common.objects.select import open_objects

__all__ = ["DirectoryObjects", "Objects", "open_objects"]
