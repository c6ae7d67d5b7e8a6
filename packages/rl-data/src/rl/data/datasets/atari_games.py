"""The games of the DQN replay dataset."""

from __future__ import annotations

__all__ = ["ATARI_GAMES"]

ATARI_GAMES: tuple[str, ...] = tuple(
    (
        "AirRaid Alien Amidar Assault Asterix Asteroids Atlantis BankHeist BattleZone BeamRider "
        "Berzerk Bowling Boxing Breakout Carnival Centipede ChopperCommand CrazyClimber "
        "DemonAttack DoubleDunk ElevatorAction Enduro FishingDerby Freeway Frostbite Gopher "
        "Gravitar Hero IceHockey Jamesbond JourneyEscape Kangaroo Krull KungFuMaster "
        "MontezumaRevenge MsPacman NameThisGame Phoenix Pitfall Pong Pooyan PrivateEye Qbert "
        "Riverraid RoadRunner Robotank Seaquest Skiing Solaris SpaceInvaders StarGunner Tennis "
        "TimePilot Tutankham UpNDown Venture VideoPinball WizardOfWor YarsRevenge Zaxxon"
    ).split()
)
