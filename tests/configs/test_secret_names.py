"""What is called a secret is hidden wherever others look; what makes a policy is none."""

from reinforce.configs.secret_names import lacks_secrets, without_secrets


def test_texts_in_what_is_called_a_secret_are_hidden_at_any_depth():
    settings = {"api_token": "a", "auth": {"user": "b", "keys": ["c", {1: "d"}]}, "name": "e"}

    assert without_secrets(settings) == {
        "api_token": "***",
        "auth": {"user": "***", "keys": ["***", {1: "***"}]},
        "name": "e",
    }


def test_numbers_and_booleans_are_no_secrets():
    settings = {"num_tokens": 16, "author": "a", "auth": True, "token_scale": [0.5, None]}

    assert without_secrets(settings) == settings


def test_what_was_left_out_is_noticed():
    assert lacks_secrets({"a": [{"token": "***"}]})
    assert not lacks_secrets({"a": [{"token": ""}, 3], "b": "a***b"})
