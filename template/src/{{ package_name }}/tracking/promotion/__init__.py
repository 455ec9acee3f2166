"""When a version of the registered model becomes the champion, and how it gets there and back.

`options.py` is the section `promotion:` of mlflow.yml; `rules.py` judges numbers by it;
`holdout.py` keeps what a run was measured on; `comparison.py` measures two versions on it, whose
predictions `predict.py` asks for; `registry.py` moves the alias and keeps the history; `report.py`
shows a verdict; `promote.py` puts it together.
"""
