"""Speech to text: a Whisper recogniser as inert data, run without PyTorch, and saved as an artefact.

    checkpoint = open_checkpoint("whisper_tiny_en")       # weights, settings, tokenizer: data, nothing else
    recogniser = Recogniser(checkpoint)                   # runs it with CTranslate2
    for heard in recogniser.transcribe(paths):            # Transcript or Unreadable, in the order of the paths
        print(heard.text, heard.confidence, heard.segments)

What learns works on the parts in between, and gives the weights back:

    samples = listen(path)                                # (t,) float32, mono, 16 kHz; ItemError if it cannot be read
    mel = recogniser.features(samples)                    # (bands, frames) float32, the input of the encoder
    states = recogniser.encode(mel)                       # (positions, width) float32, the encoder's output: cacheable
    recogniser.from_states([states])                      # the same transcripts without the encoder's cost
    recogniser.from_features([mel])                       # or with it
    checkpoint.tokens.prompt(language)                    # ids that a text follows: <|startoftranscript|> ...
    checkpoint.tokens.encode("Thank you.")                # ids of a text, without any special token
    model = to_transformers(checkpoint)                   # WhisperForConditionalGeneration, in eval mode, float32
    tuned = from_transformers(model, checkpoint)          # a Checkpoint as `checkpoint`, with the weights of `model`
    write(path, tuned, card, report); load(path)          # the artefact; a Transcriber with predict and evaluate

One subject a file: `dimensions` (sizes and the shape of every weight), `tokens`, `checkpoint`, `bundled`, `pretrained`
and `opening` (where they come from), `conversion` (CTranslate2's names and those of transformers), `listening`,
`decoder`, `recogniser`, `windows` (long recordings), `phrases` (short ones), `transcript`, `artefact`, `transcriber`;
of training `states`, `spectrograms`, `examples`, `torch_decoder`, `torch_encoder`, `moves` (`lora`, `last_stages`,
`full`), `recipe`, `pace`, `tuning`, `tuned`. Whisper is described in Radford et al. 2022 (2212.04356).
"""
