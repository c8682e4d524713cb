"""Simulated bodies: what a plan asks for, seen on the body of `body.xml`."""

import numpy as np

from biomechjax.cohort.body import Plan, perform
from biomechjax.cohort.people import draw_person
from biomechjax.motion.kinematics import forward_kinematics


def test_a_person_who_faces_the_other_way_is_the_same_person_turned():
    """Half a turn about the pelvis's place: every joint of a stooped walker goes to the other side of it."""
    person = draw_person(np.random.default_rng(3), "parkinson's disease")
    places = []
    for turn in (0.0, np.pi):
        plan = Plan.still(90)
        plan.forward += 0.8
        plan.cycle_rate += 0.8
        plan.heading += turn
        values = perform(person, plan, np.random.default_rng(5)).values
        joints = np.asarray(forward_kinematics(values, person.height_m).joints)
        places.append(joints - joints[:1, :1])
    np.testing.assert_allclose(places[1], places[0] * [-1, 1, -1], atol=1e-4)
