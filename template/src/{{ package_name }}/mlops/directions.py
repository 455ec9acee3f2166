"""In which direction a metric is better, read from its name."""

import re

_WORDS = {
    "higher": "accuracy acc f1 fbeta auc auroc auprc r2 precision recall sensitivity specificity "
    "tpr tnr kappa mcc gini jaccard iou dice ndcg mrr bleu rouge likelihood correlation",
    "lower": "rmse mae mse mape smape wape mase rmsle msle medae error errors loss logloss "
    "deviance brier nll crossentropy perplexity fpr fnr ece crps wer cer hinge pinball rss sse",
}


def direction_of(metric: str) -> str | None:
    """Return "higher" or "lower", whichever is better; none where the name does not tell.

    A group, a fold or a data set may stand before or behind it, as in ``test/rmse``, ``f1_macro``
    and ``rmse/women``. scikit-learn's ``neg_mean_squared_error`` is better higher.
    """
    name = re.sub(r"([a-z])([A-Z])", r"\1_\2", metric).lower()
    words = set(re.findall(r"[a-z]+\d?|\d+", name))
    found = [direction for direction, known in _WORDS.items() if words.intersection(known.split())]
    if re.search(r"(^|/)neg(ative)?[^a-z/]", name):  # Turned round, or of a class of that name.
        return "higher" if "neg" in words and found == ["lower"] else None
    return found[0] if len(found) == 1 else None
