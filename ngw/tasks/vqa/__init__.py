"""Visual question answering: vocabulary, answering network, stages."""
