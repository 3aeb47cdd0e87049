"""An Electrician relay over gRPC."""
