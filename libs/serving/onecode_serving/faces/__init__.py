"""The Open Inference Protocol as gRPC and as REST, both thin over one :class:`~onecode_serving.data_plane.DataPlane`."""
