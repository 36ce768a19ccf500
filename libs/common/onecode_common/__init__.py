"""What at least two services need and none of them owns."""
