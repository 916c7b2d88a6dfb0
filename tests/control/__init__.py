"""Tests of the control plane, over fakes of its ports and a real link to gateways."""
