"""How to cite the method, for people and for BibTeX."""

PLAIN = (
    "Harshay Shah, Sung Min Park, Andrew Ilyas, Aleksander Madry. ModelDiff: A Framework for Comparing Learning "
    "Algorithms. Proceedings of the 40th International Conference on Machine Learning (ICML 2023), PMLR 202, "
    "pages 30646–30688. arXiv:2211.12491."
)
BIBTEX = """@inproceedings{shah2023modeldiff,
  title     = {{ModelDiff}: A Framework for Comparing Learning Algorithms},
  author    = {Shah, Harshay and Park, Sung Min and Ilyas, Andrew and Madry, Aleksander},
  booktitle = {Proceedings of the 40th International Conference on Machine Learning},
  series    = {Proceedings of Machine Learning Research},
  volume    = {202},
  pages     = {30646--30688},
  publisher = {PMLR},
  year      = {2023},
  note      = {arXiv:2211.12491}
}"""
