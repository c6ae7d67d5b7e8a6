from rl.data.datasets.listing import Listing


def test_names_are_asked_for_at_each_read():
    class Base:
        names = ("a",)
        listed = Listing(lambda cls: list(cls.names), "The names.")

    class Sub(Base):
        names = ("b", "c")

    assert Base.listed == Base().listed == ["a"]
    assert Sub.listed == ["b", "c"]
    Sub.names = ()
    assert Sub.listed == []
