"""Ask a server of the Open Inference Protocol from asyncio for a tenth of a stock client's CPU time.

One connection carries all concurrent calls; engine and frames are those of the server, in pure functions of bytes.
"""

from onecode_serving.client.client import OipClient
from onecode_serving.client.messages import Prediction
from onecode_serving.client.streaming import InferStream

__all__ = ["InferStream", "OipClient", "Prediction"]
