"""What is called a secret is hidden wherever others look; what makes a policy is none."""

import datetime

from reinforce.configs.secret_names import lacks_secrets, without_secrets


def test_what_is_called_a_secret_is_hidden_at_any_depth():
    settings = {"api_token": "a", "auth": {"user": "b", "keys": ["c", {1: "d"}]}, "name": "e"}
    numbers = {"password": 19840101, "api_key": [123456789012, 0.5], "auth": {"pin": 0}}

    assert without_secrets(settings) == {
        "api_token": "***",
        "auth": {"user": "***", "keys": ["***", {1: "***"}]},
        "name": "e",
    }
    assert without_secrets({"kwargs": numbers}) == {
        "kwargs": {"password": "***", "api_key": ["***", "***"], "auth": {"pin": "***"}}
    }
    assert without_secrets({"password": datetime.date(1984, 1, 1)}) == {"password": "***"}


def test_measures_and_booleans_are_no_secrets():
    settings = {"num_tokens": 16, "author": "a", "auth": True, "token_scale": [0.5, None]}
    more = {"tokens": 8, "max_auth_tries": 3, "key_dim": 64, "tokens_per_step": 2, "api_key": ""}

    assert without_secrets(settings | more) == settings | more


def test_names_in_camel_case_are_read_by_their_words():
    secrets = {"sshKey": "a", "apiKey": "b", "hostKeyFile": "c", "accessToken": "d"}
    others = {"numKeys": "a", "donKeyring": "b", "monkey": "c", "KEYBOARD": "d"}

    assert without_secrets(secrets | others) == dict.fromkeys(secrets, "***") | others


def test_what_belongs_to_a_network_called_after_tokens_is_no_secret():
    encoder = {"layers": 2, "hidden_sizes": [64, 32], "dim": 8, "pin": 1234, "size": "large"}

    shown = without_secrets({"token_encoder": encoder})

    assert shown == {"token_encoder": {**encoder, "pin": "***", "size": "***"}}


def test_a_text_is_no_measure():
    assert without_secrets({"num_tokens": "a", "tokens": ["b"]}) == {
        "num_tokens": "***",
        "tokens": ["***"],
    }


def test_what_was_left_out_is_noticed():
    assert lacks_secrets({"a": [{"token": "***"}]})
    assert not lacks_secrets({"a": [{"token": ""}, 3], "b": "a***b"})
