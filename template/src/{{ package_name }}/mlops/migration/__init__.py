"""Moving house: runs, models and versions of one MLflow go to another, once.

    move.py      the order in which things go
    runs.py      a run: params, metrics, tags, inputs, files, what it has made
    models.py    a logged model with its files
    versions.py  a registered model: versions and aliases
    traces.py    a trace, such as a run's timeline
    files.py     files of a run or a model, one at a time
    checking.py  whether all of it has arrived, by counts and digests

What was moved carries a tag that names what it was before: a move that is stopped, or started
twice, finds what it has done on the target itself.
"""
