"""The model server as a library: cloud and gateway are two thin programs around it and answer alike."""
