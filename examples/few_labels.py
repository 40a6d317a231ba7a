"""Classification from a few labels: a linear classifier on vectors, its instruction chosen by cross-validation."""

from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from instructor_embedding.integrations.sklearn import InstructorVectorizer

texts = [
    "I am so happy with this, thank you!",
    "What a wonderful surprise.",
    "This made my day.",
    "I love how it turned out.",
    "I am really disappointed.",
    "This is the worst service ever.",
    "I feel sad about the delay.",
    "It broke after a day, I am angry.",
]
labels = ["good"] * 4 + ["bad"] * 4
instructions = [
    "Represent the comment for sentiment classification: ",
    "Represent the comment for topic classification: ",
]
pipeline = make_pipeline(InstructorVectorizer(), LogisticRegression(C=10))
search = GridSearchCV(pipeline, {"instructorvectorizer__instruction": instructions}, cv=4).fit(texts, labels)
print(search.best_params_["instructorvectorizer__instruction"], search.best_score_)
print(*search.predict(["a great experience", "never again, terrible"]))
