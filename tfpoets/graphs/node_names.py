"""Names of the nodes and outputs in the graphs that tfpoets writes."""
from __future__ import annotations

# A classifier's outputs in every exported format with named outputs. In the .pb, the option
# `final_tensor_name` names the probabilities.
PROBABILITIES, UNKNOWN_SCORE = "probabilities", "unknown_score"
# Name scopes of the pretrained network, of the head (the name in TensorFlow for Poets) and of the unknown score.
MODULE_SCOPE, HEAD_SCOPE, UNKNOWN_SCOPE = "module", "final_training_ops", "unknown"
LOGITS = "logits"
