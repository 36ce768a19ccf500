"""Carry questions between services: authenticated, with typed errors, and nothing else in a servicer."""

from onecode_common.rpc.client import Peer, connect
from onecode_common.rpc.context import Caller, current_caller
from onecode_common.rpc.server import GrpcServer, Rule

__all__ = ["Caller", "GrpcServer", "Peer", "Rule", "connect", "current_caller"]
