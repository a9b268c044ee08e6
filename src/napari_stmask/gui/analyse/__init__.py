"""The dock *Analyse*: questions to a result, one panel each."""
