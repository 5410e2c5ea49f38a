"""A board game with action masks: Connect Four against an opponent that plays at random."""

import gymnasium
import numpy as np

import reinforce

ROWS, COLUMNS = 6, 7
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
ME, OPPONENT = 1, -1


class ConnectFour(gymnasium.Env):
    """Four in a row: 1 for yours, -1 for the opponent's, 0 for a full board.

    The opponent plays at random; a careful one only where no stone wins or prevents a win.
    """

    observation_space = gymnasium.spaces.Box(0, 1, (2, ROWS, COLUMNS), np.float32)
    action_space = gymnasium.spaces.Discrete(COLUMNS)

    def __init__(self, *, is_careful=False):
        self.is_careful = is_careful

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.board = np.zeros((ROWS, COLUMNS), np.int8)
        self.heights = [0] * COLUMNS
        if self.np_random.random() < 0.5:
            self.drop(self.answer(), OPPONENT)
        return self.seen(), self.info()

    def step(self, action):
        reward = self.drop(int(action), ME)
        if not reward and self.open_columns():
            reward = -self.drop(self.answer(), OPPONENT)
        is_over = bool(reward) or not self.open_columns()
        return self.seen(), float(reward), is_over, False, self.info(won=reward == 1)

    def drop(self, column, player):
        """Let a stone of the player fall, and return whether that wins."""
        is_won = self.wins(column, player)
        self.board[self.heights[column], column] = player
        self.heights[column] += 1
        return is_won

    def wins(self, column, player):
        """Return whether a stone there would be one of four in a row."""
        return any(
            self.reach(column, player, up, right) + self.reach(column, player, -up, -right) >= 3
            for up, right in DIRECTIONS
        )

    def reach(self, column, player, up, right):
        """Count the player's stones from the place where one would fall in one direction."""
        row, count = self.heights[column] + up, 0
        column += right
        while 0 <= row < ROWS and 0 <= column < COLUMNS and self.board[row, column] == player:
            row, column, count = row + up, column + right, count + 1
        return count

    def answer(self):
        choices = self.open_columns()
        for player in (OPPONENT, ME) if self.is_careful else ():
            for column in choices:
                if self.wins(column, player):
                    return column
        return int(self.np_random.choice(choices))

    def open_columns(self):
        return [column for column in range(COLUMNS) if self.heights[column] < ROWS]

    def seen(self):
        return np.stack([self.board == ME, self.board == OPPONENT]).astype(np.float32)

    def info(self, *, won=False):
        # A full column may not be chosen; the learner recomputes under the same mask.
        return {"action_mask": np.array(self.heights) < ROWS, "is_success": won}


if __name__ == "__main__":
    run = reinforce.train(
        environment=ConnectFour,
        overrides={
            "learner.episodes_per_update": 256,
            "learner.baseline": "value",
            "learner.gae_lambda": 0.9,
            "learner.discount": 1.0,
            "learner.entropy_coefficient": 0.03,
            "learner.learning_rate": 0.005,
            "policy.hidden_sizes": [128, 128],
            "stop.max_updates": 20,
        },
        backend="inline",
    )
    result = run.evaluate(episodes=200)
    print(f"{result.metrics['is_success'].mean():.0%} of 200 games are won", result)
    assert result.metrics["is_success"].mean() > 0.75
