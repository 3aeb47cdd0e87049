"""The relay's messages: relay.proto, and what protoc made of it."""
