"""scikit-learn: its own checks of estimators, and the instruction as a hyperparameter."""

import pickle

import joblib
import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from instructor_embedding import INSTRUCTOR, InputError
from instructor_embedding.integrations.sklearn import InstructorVectorizer
from tests.integrations.conftest import DOCUMENT, QUERY, TEXTS


def test_vectors(name, documents):
    vectorizer = InstructorVectorizer(name, instruction=DOCUMENT)
    np.testing.assert_allclose(vectorizer.fit_transform(TEXTS), documents, atol=1e-6)
    np.testing.assert_allclose(vectorizer.transform(np.array(TEXTS, object)), documents, atol=1e-6)
    assert vectorizer.get_params()["instruction"] == DOCUMENT
    assert list(vectorizer.get_feature_names_out()[:2]) == ["instructorvectorizer0", "instructorvectorizer1"]
    assert vectorizer.transform([]).shape == (0, documents.shape[1])


def test_the_weights_are_not_pickled(name, documents, tmp_path):
    vectorizer = InstructorVectorizer(name, instruction=DOCUMENT).fit(TEXTS)
    vectorizer.transform(TEXTS)
    assert len(pickle.dumps(vectorizer)) < 1000
    joblib.dump(vectorizer, tmp_path / "v")
    for copy in (clone(vectorizer), joblib.load(tmp_path / "v")):
        np.testing.assert_allclose(copy.transform(TEXTS), documents, atol=1e-6)


def test_a_search_over_instructions(name):
    texts = [f"{word} number {count}" for count in range(6) for word in ("bread", "copper")]
    pipeline = make_pipeline(InstructorVectorizer(name), LogisticRegression())
    grid = {"instructorvectorizer__instruction": [DOCUMENT, QUERY]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(texts, [0, 1] * 6)
    assert search.best_params_["instructorvectorizer__instruction"] in (DOCUMENT, QUERY)
    assert len(search.predict(texts)) == 12


def test_a_column_of_a_table(name, documents):
    table = pandas.DataFrame({"text": TEXTS, "year": [1, 2]})
    columns = ColumnTransformer(
        [("v", InstructorVectorizer(name, instruction=DOCUMENT), "text")], remainder="passthrough"
    )
    matrix = columns.fit_transform(table)
    np.testing.assert_allclose(matrix[:, :-1], documents, atol=1e-6)
    columns.set_output(transform="pandas")
    assert list(columns.fit_transform(table).columns)[-1] == "remainder__year"


def test_what_is_not_texts(name):
    for values, message in (("abc", "one text"), ([1], r"X\[0\] is 1"), (np.ones((2, 2)), r"shape \(2, 2\)")):
        with pytest.raises(InputError, match=message):
            InstructorVectorizer(name).transform(values)


def test_a_loaded_model(name, documents):
    model = INSTRUCTOR(name, device="cpu")
    np.testing.assert_allclose(InstructorVectorizer(model, DOCUMENT).transform(TEXTS), documents, atol=1e-6)


APPLICABLE = (
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_valid_tag_types,
)


def test_checks_of_estimators(name):
    # the generator passes over estimators of texts but for one check, HashingVectorizer too
    for estimator, check in estimator_checks.estimator_checks_generator(InstructorVectorizer(name)):
        check(estimator)
    for check in APPLICABLE:
        check("InstructorVectorizer", InstructorVectorizer(name))
