"""What runs around the rendering of the Slipway template."""
