"""Instruction following: does a vector show what its instruction asks for?

The same texts carry several labels, such as topic and sentiment. Under the instruction of each labeling, and under
none, it is measured how well each labeling can be recovered from the vectors. A model that follows instructions
recovers a labeling best under that labeling's own instruction.
"""
