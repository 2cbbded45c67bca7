"""What can be known of a node, one file a subject. A fact parses and never judges."""
