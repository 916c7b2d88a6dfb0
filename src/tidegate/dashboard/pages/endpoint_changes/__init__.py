"""What changes an endpoint: roll-outs, the gate's reports, updates, builds, and the actions of all its pages."""
