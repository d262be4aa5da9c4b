"""Logistic and softmax regression against every peer: who is how much faster, from loose to tight accuracy."""
