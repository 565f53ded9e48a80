"""What workspaces on Kubernetes send over the network, by person and hour, for the operator's ledger."""
