"""What busfn is compared with: each peer is a module that runs in an environment of its own."""
