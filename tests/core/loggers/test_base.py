from rl.core.loggers.base import Logger
from rl.core.loggers.values import as_video, flatten


class Recorder(Logger):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__("run", "logs")
        self.written = []

    def _write_scalar(self, name, value, step):
        self.written.append((name, value, step))

    def log_video(self, name, video, step=None, **kwargs):
        self.written.append((name, as_video(name, video).shape, self._step(name, step)))

    def log_hparams(self, cfg):
        self.written.append(dict(flatten(cfg)))

    def log_histogram(self, name, data, step=None, **kwargs):
        self.written.append((name, len(data), self._step(name, step)))


def test_steps_are_shared_by_kinds_of_one_name():
    logger = Recorder()
    logger.log_scalar("a", 1.0, step=4)
    logger.log_histogram("a", [1.0])
    assert logger.written == [("a", 1.0, 4), ("a", 1, 5)]


def test_state_dict_holds_what_a_checkpoint_can():
    logger = Recorder()
    logger.log_scalar("a", 1.0)
    assert logger.state_dict() == {"exp_name": "run", "log_dir": "logs", "next_step": {"a": 1}}


def test_a_logger_is_its_own_client_and_lives_until_it_is_closed():
    logger = Recorder()
    assert logger.start() is logger
    assert logger.client() is logger
    assert logger.service_backend == "direct"
    assert logger.is_alive
    logger.shutdown()
    logger.shutdown()
    assert not logger.is_alive
