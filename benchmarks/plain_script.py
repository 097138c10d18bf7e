"""What a practitioner writes by hand with pandas and scikit-learn: read, split, encode, fit, score.

python benchmarks/plain_script.py FILE TARGET
"""

import sys

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def fit_table(path: str, target: str) -> dict[str, float]:
    """Test metrics of scikit-learn's logistic regression with C=1."""
    frame = pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)
    y = (frame.pop(target) == "yes").to_numpy()
    numbers, categories = list[str](), list[str]()
    for name in frame.columns.tolist():
        if name.startswith("date"):
            dates = pd.to_datetime(frame.pop(name))
            frame[f"{name}_year"], numbers = dates.dt.year, [*numbers, f"{name}_year"]
            for part in ("month", "day_of_week", "hour"):
                frame[f"{name}_{part}"] = getattr(dates.dt, part)
                categories.append(f"{name}_{part}")
        elif pd.api.types.is_numeric_dtype(frame[name]):
            numbers.append(name)
        else:
            categories.append(name)
    train, test, y_train, y_test = train_test_split(frame, y, test_size=0.25, random_state=0, stratify=y)
    encoder = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()), numbers),
            ("categories", OneHotEncoder(min_frequency=10, handle_unknown="infrequent_if_exist"), categories),
        ]
    )
    X_train, X_test = encoder.fit_transform(train), encoder.transform(test)
    model = LogisticRegression(max_iter=1000).fit(X_train, y_train)
    p = model.predict_proba(X_test)[:, 1]
    return {
        "log_loss": log_loss(y_test, p),
        "roc_auc": roc_auc_score(y_test, p),
        "accuracy": accuracy_score(y_test, p > 0.5),
        "brier": brier_score_loss(y_test, p),
    }


if __name__ == "__main__":
    print(fit_table(*sys.argv[1:]))
