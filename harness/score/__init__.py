"""How good a forecast was: point metrics, tests of difference, the decision's cost, and the score tables."""
