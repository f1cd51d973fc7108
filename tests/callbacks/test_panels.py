import pytest
from PIL import Image


def test_panels_are_files_too(finished):
    names = sorted(path.name for path in (finished.folder / "images" / "a2b").iterdir())
    assert names == [f"step_{step:07d}.png" for step in (0, 2, 4, 6)]
    with Image.open(finished.folder / "images" / "a2b" / names[-1]) as panel:
        assert panel.mode == "RGB"


def test_panels_that_cannot_be_written_do_not_stop_the_training(make_run):
    run = make_run()
    (run.folder / "images").write_text("in the way")
    with pytest.warns(UserWarning, match="panels are lost from step 0 on") as caught:
        assert run.train() == "finished"
    assert len(caught) == 1
