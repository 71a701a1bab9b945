"""What experiments share.

arguments    the command line
results      where results and runs are, and CSV files of results
pages        Markdown
pictures     pictures
fit          an optimizer on a loss that draws its own data
learning     training of many seeds of a gin configuration
comparison   statistics of learning curves, and their differences between methods
"""
