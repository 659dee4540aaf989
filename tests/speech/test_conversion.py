from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headstart.errors import SourceError
from headstart.speech import bundled
from headstart.speech.conversion import TIED, from_state_dict, from_transformers, state_dict, to_transformers
from headstart.speech.decoder import Decoder

from .conftest import DIGITS, SHAPE, VOCABULARY, make_checkpoint

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_there_and_back_is_exact(dtype) -> None:
    checkpoint = make_checkpoint(dtype=dtype)
    back = from_state_dict(state_dict(checkpoint), SHAPE, "x")
    assert back.keys() == checkpoint.weights.keys()
    for name, array in back.items():
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, checkpoint.weights[name])
    assert from_transformers(to_transformers(checkpoint), checkpoint).fingerprint == checkpoint.fingerprint


def test_names_and_shapes_are_those_of_transformers(small) -> None:
    config = transformers.WhisperConfig(
        vocab_size=VOCABULARY, num_mel_bins=80, d_model=32, encoder_layers=2, encoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=64, max_source_positions=1500,
        max_target_positions=64, pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=1,
    )  # fmt: skip
    expected = transformers.WhisperForConditionalGeneration(config).state_dict()
    assert {name: tuple(value.shape) for name, value in expected.items()} == {
        name: value.shape for name, value in state_dict(small).items()
    }


def test_transformers_and_ctranslate2_compute_the_same() -> None:
    """Two programs, one set of weights under two names: encoder states, and the log-probability of a decoding."""
    pytest.importorskip("ctranslate2")
    checkpoint = make_checkpoint(dtype=np.float32)
    model, decoder = to_transformers(checkpoint), Decoder(checkpoint, compute="float32", workers=1)
    mels = np.random.default_rng(1).standard_normal((2, 80, 3000)).astype(np.float32)
    states = decoder.encode(mels)
    with torch.no_grad():
        expected = model.model.encoder(torch.from_numpy(mels)).last_hidden_state.numpy()
    np.testing.assert_allclose(states, expected, atol=2e-4)
    for k, decoded in enumerate(decoder.decode(states, ["en", "en"], beam=1, timestamps=False)):
        _check_greedy(checkpoint, model, mels[k : k + 1], decoded)


def _check_greedy(checkpoint, model, mel, decoded) -> None:
    """Every token is the most probable of those that are not suppressed, and the log-probabilities add up."""
    prompt, end = checkpoint.tokens.prompt(), checkpoint.tokens.end
    ids = [*prompt, *decoded.ids]
    with torch.no_grad():
        logits = model(torch.from_numpy(mel), decoder_input_ids=torch.tensor([ids])).logits[0].double()
    total = 0.0
    full = len(ids) >= SHAPE.text_positions // 2  # then no end of text was chosen
    for place, token in enumerate([*decoded.ids, *([] if full else [end])], len(prompt) - 1):
        row = logits[place].clone()
        row[list(checkpoint.settings.suppress)] = -torch.inf
        if place == len(prompt) - 1:
            row[list(checkpoint.settings.suppress_first)] = -torch.inf
        assert int(row.argmax()) == token
        total += float(row.log_softmax(0)[token])
    assert decoded.log_probability == pytest.approx(total, abs=2e-3)


def test_what_transformers_cannot_hold_is_said(small) -> None:
    name = "decoder/layer_1/attention/linear_1/bias"
    biased = {**small.weights, name: np.ones_like(small.weights[name])}
    with pytest.raises(SourceError, match=r"layer_1/attention/linear_1/bias has a bias of k"):
        state_dict(replace(small, weights=biased))


@pytest.mark.parametrize("change", ["missing", "left over", "not tied"])
def test_a_state_dict_must_be_whole_and_tied(small, change) -> None:
    state = dict(state_dict(small))
    if change == "missing":
        del state["model.decoder.layers.1.fc2.bias"]
    elif change == "left over":
        state["model.decoder.extra"] = np.zeros(3)
    else:
        state[TIED] = state[TIED] + 1
    with pytest.raises(SourceError, match={"missing": "fc2.bias is missing"}.get(change, "extra|projection")):
        from_state_dict(state, SHAPE, "x")


def test_weights_that_float16_cannot_hold_are_refused(small) -> None:
    model = to_transformers(small)
    with torch.no_grad():
        model.model.decoder.layers[0].fc1.weight[0, 0] = 1e6
    with pytest.raises(SourceError, match=r"layer_0/ffn/linear_0/weight has values that are not finite"):
        from_transformers(model, small)


@pytest.mark.skipif(not bundled.installed("whisper_tiny_en") or not DIGITS.is_dir(), reason="no weights or no clips")
def test_tiny_en_says_the_same_in_transformers_and_in_ctranslate2() -> None:
    pytest.importorskip("ctranslate2")
    pytest.importorskip("soundfile")
    from headstart.speech.listening import listen
    from headstart.speech.recogniser import Recogniser

    checkpoint = bundled.open_bundled("whisper_tiny_en")
    paths = [DIGITS / f"{digit}_{speaker}_7.wav" for digit, speaker in ((1, "jackson"), (5, "theo"), (8, "george"))]
    recogniser = Recogniser(checkpoint, workers=1)
    heard = [one.text for one in recogniser.transcribe(paths, beam=1)]
    mels = torch.from_numpy(np.stack([recogniser.features(listen(path)) for path in paths]))
    with torch.no_grad():
        found = to_transformers(checkpoint).generate(
            mels, max_new_tokens=20, num_beams=1, do_sample=False,
            decoder_input_ids=torch.tensor([checkpoint.tokens.prompt()] * 3),
            suppress_tokens=list(checkpoint.settings.suppress),
            begin_suppress_tokens=list(checkpoint.settings.suppress_first), return_timestamps=False,
        )  # fmt: skip
    assert [checkpoint.tokens.decode(row.tolist()).strip() for row in found] == heard
