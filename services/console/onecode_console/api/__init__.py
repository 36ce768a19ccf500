"""REST ``/api/v1``: what programs may ask, all of it behind the gate."""
