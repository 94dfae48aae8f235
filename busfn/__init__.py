"""busfn: Python functions as NATS services."""
