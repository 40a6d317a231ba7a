"""Clustering: texts of one topic get the same number."""

import sys

import sklearn.cluster

from InstructorEmbedding import INSTRUCTOR

model = INSTRUCTOR(sys.argv[1] if len(sys.argv) > 1 else "hkunlp/instructor-large")
instruction = "Represent the Medicine sentence for clustering: "
sentences = [
    [instruction, "Dynamical Scalar Degree of Freedom in Horava-Lifshitz Gravity"],
    [instruction, "Comparison of Atmospheric Neutrino Flux Calculations at Low Energies"],
    [instruction, "Fermion Bags in the Massive Gross-Neveu Model"],
    [instruction, "QCD corrections to Associated t-tbar-H production at the Tevatron"],
    [instruction, "Statins and the recurrence of breast cancer in a cohort of patients"],
    [instruction, "Effects of early mobilization on recovery after hip surgery"],
    [instruction, "Insulin therapy in children with type 1 diabetes"],
    [instruction, "Influenza vaccination of elderly patients in hospital"],
]
embeddings = model.encode(sentences)
clustering_model = sklearn.cluster.KMeans(n_clusters=2, n_init=10, random_state=0)
clustering_model.fit(embeddings)
print(clustering_model.labels_)
