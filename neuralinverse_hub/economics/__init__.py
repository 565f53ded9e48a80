"""The economics: what workspace-hours earn and cost, for the operator. A person who works here meets none of it."""
