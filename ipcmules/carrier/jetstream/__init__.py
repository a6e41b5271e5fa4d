"""The engine on NATS JetStream: the one room that imports its client. May know the engine it is. Private."""
