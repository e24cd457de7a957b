"""Reads DICOM Segmentation objects with pydicom and highdicom and compares them with the masks that they were made of.

usage: read_segmentations.py FOLDER; each folder in it has a series/, mask.raw, facts.json and segmentation.dcm
"""

import json
import sys
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom


def world(affine, indices):
    return indices @ affine[:3, :3].T + affine[:3, 3]


def compare(folder):
    facts = json.loads((folder / "facts.json").read_text())
    columns, rows, slices = facts["shape"]
    mask = np.fromfile(folder / "mask.raw", np.uint8).reshape(slices, rows, columns)
    sources = {d.SOPInstanceUID: d for d in map(pydicom.dcmread, sorted((folder / "series").iterdir()))}
    dataset = pydicom.dcmread(folder / "segmentation.dcm")
    segmentation = hd.seg.Segmentation.from_dataset(dataset)
    problems = []

    def expect(holds, what):
        if not holds:
            problems.append(what)

    # Voxels, by the slices that the series has them on.
    pixels = segmentation.get_pixels_by_source_instance(
        facts["instances"], combine_segments=True, ignore_spatial_locations=False, assert_missing_frames_are_empty=True
    )
    expect(np.array_equal(pixels, mask), "voxels by source instance")
    # Places, by what the source says itself.
    frames = dataset.PerFrameFunctionalGroupsSequence
    shared = dataset.SharedFunctionalGroupsSequence[0]
    for frame in frames:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        source = sources[uid]
        expect(frame.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient, "position")
        expect(shared.PlaneOrientationSequence[0].ImageOrientationPatient == source.ImageOrientationPatient, "orientation")
        expect(shared.PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing, "spacing")
        expect(dataset.FrameOfReferenceUID == source.FrameOfReferenceUID, "frame of reference")
        expect(dataset.StudyInstanceUID == source.StudyInstanceUID, "study")
        expect(dataset.PatientName == source.PatientName, "patient")
    # Voxels in the world, as highdicom makes a volume of it; it makes none of a tilted gantry.
    if not facts["isTilted"] and mask.any():
        volume = segmentation.get_volume(combine_segments=True)
        found = np.argwhere(volume.array)
        there = world(volume.affine, found)
        lps = np.diag([-1, -1, 1, 1]) @ np.array(facts["affine"]).reshape(4, 4)
        wanted = np.argwhere(mask)
        here = world(lps, wanted[:, ::-1])
        expect(len(there) == len(here), "number of voxels in the world")
        if len(there) == len(here):
            order = lambda points: np.lexsort(np.round(points, 2).T)
            a, b = order(there), order(here)
            distance = np.abs(there[a] - here[b]).max()
            expect(distance < 2e-3, f"places in the world, {distance} mm apart")
            expect(np.array_equal(volume.array[tuple(found[a].T)], mask[tuple(wanted[b].T)]), "values in the world")
    names = [segmentation.get_segment_description(i).segment_label for i in segmentation.segment_numbers]
    expect(names == facts["labels"], f"labels {names}")
    return problems


failed = 0
for folder in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
    problems = compare(folder)
    failed += bool(problems)
    print(f"{'NOT OK' if problems else 'ok    '} {folder.name}: {', '.join(sorted(set(problems))) or 'voxels, places, patient'}")
sys.exit(1 if failed else 0)
