"""The web console: pages made on the server, one file a page."""
