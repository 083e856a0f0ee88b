"""Vlaar & Frankle (2022): what the loss along the line from initial to final weights says about a network.

Networks are trained under many interventions; the test loss is looked at between initial and final weights, of all
blocks together and of each alone, beside how accurate the network became.

A row is a file that says what is trained and what is claimed; what the rows tabulate, compute and draw they share
(``setups``, ``tabulate``, ``quantities``, ``draw``).
"""
