"""What agents/sweep.py consists of.

arguments       the command line
seeds           lists of seeds as text
grid            values of names as text, and their combinations
space           ranges of a search as text
names           values and settings as names of folders
settings        the configuration of a setting, and the command line of a task
tasks           a setting with a group of seeds, and its run directory
record          log.txt: what a run directory tells of the starts there
attempt         one start of a task, wherever it is
states          where each task stands
backends        where tasks run
running         tasks are brought to their end
search          settings that are chosen by what has come of others
results         what has come of all: a table, results.csv and pictures
tables          tables of text
"""
