"""A board game with action masks: Connect Four against an opponent that sees one move ahead."""

import gymnasium
import numpy as np

import reinforce

ROWS, COLUMNS = 6, 7
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
ME, OPPONENT = 1, -1


class ConnectFour(gymnasium.Env):
    """Four in a row win: 1. The opponent wins or prevents a win if it can, else plays at random."""

    observation_space = gymnasium.spaces.Box(0, 1, (2, ROWS, COLUMNS), np.float32)
    action_space = gymnasium.spaces.Discrete(COLUMNS)

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
        for player in (OPPONENT, ME):
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
