import cv2
import numpy as np
import pytest

from training.data import DataError
from training.degrade import reduce_clean
from training.evaluate_restoration import bicubic, evaluate_enhancer, scores


def picture(height=64, width=80):
    noise = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.5), np.uint8)


def test_scores_of_a_known_error():
    truth = np.full((32, 32, 3), 100, np.uint8)
    psnr, _ = scores(truth + 10, truth, 2)

    # Ten steps of grey are 10 * (65.481 + 128.553 + 24.966) / 255 of Y.
    assert psnr == pytest.approx(20 * np.log10(255 / (10 * 219 / 255)), abs=1e-9)
    assert scores(picture(), picture(), 2)[0] > 100
    assert scores(picture(), picture(), 2)[1] == pytest.approx(1)


def test_the_border_does_not_count():
    spoiled = picture()
    spoiled[:2], spoiled[:, -2:] = 0, 255

    assert scores(spoiled, picture(), 2)[0] > 100
    assert scores(spoiled, picture(), 1)[0] < 40


@pytest.mark.parametrize("scale", [2, 4])
def test_pairs_of_the_standard_protocol_are_found_and_compared_with_bicubic(tmp_path, scale):
    for index in range(2):
        clean = picture(64, 80 + 8 * index)
        cv2.imwrite(str(tmp_path / f"x{scale}_{index}_HR.png"), clean[..., ::-1])
        cv2.imwrite(str(tmp_path / f"x{scale}_{index}_LR.png"), reduce_clean(clean, scale)[..., ::-1])
    report = evaluate_enhancer(lambda rgb, strength: bicubic(rgb, scale), scale, [tmp_path])
    values = {record["measure"]: record["value"] for record in report.records}

    assert values["PSNR (Y)"] == values["PSNR (Y), bicubic"]
    assert 20 < values["PSNR (Y)"] < 60
    assert f"2 pictures, x{scale}" in report.records[0]["data"]


def test_a_pair_without_its_other_half_and_a_folder_without_pictures_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "x2_1_LR.png"), picture())
    with pytest.raises(DataError, match="no high resolution"):
        evaluate_enhancer(lambda rgb, strength: bicubic(rgb, 2), 2, [tmp_path])
    with pytest.raises(DataError, match="nothing to measure"):
        evaluate_enhancer(lambda rgb, strength: bicubic(rgb, 4), 4, [tmp_path])
