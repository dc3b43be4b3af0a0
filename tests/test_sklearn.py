"""scikit-learn's contract: its own estimator checks, clone, repr, pickling, Pipeline; and that nothing is stale."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import check_is_fitted
from test_methods import SPECS, K, clouds, fitted, name, outputs, same

from ngw import errors, methods
from ngw.errors import InputError
from ngw.methods.ridge import Ridge
from ngw.methods.unaligned import Unaligned
from ngw.methods.warp import Warp

every = pytest.mark.parametrize("spec", SPECS, ids=name)


class Paired:
    """What scikit-learn's checks pass to `fit`, x [n, d] and a target [n] or [n, t] of the same rows, as two clouds."""

    def fit(self, x, y, pairs=None, seed=0):
        if y is not None:
            y = np.asarray(y).reshape(len(np.asarray(y)), -1)
            pairs = np.arange(len(y) - 1)  # all but the last, so that there is something to transport
        return super().fit(x, y, pairs, seed)


class PairedRidge(Paired, Ridge):
    pass


class PairedUnaligned(Paired, Unaligned):
    pass


class PairedWarp(Paired, Warp):
    pass


LEFT_OUT = {  # scikit-learn's check: why it isn't ours
    "check_do_not_raise_errors_in_init_or_set_params": "a config's options are refused before any job runs",
    "check_dtype_object": "an InputError is a ValueError, where the check wants a TypeError",
    # The error is raised, in the house's words instead of the check's.
    "check_n_features_in_after_fitting": "tested in test_methods: new rows are checked as well",
    "check_estimators_empty_data_messages": "tested in test_methods: no rows",
    "check_fit2d_predict1d": "tested in test_methods: one row",
    "check_requires_y_none": "tested below: no second cloud",
    "check_array_api_input": "clouds are NumPy's after fit; the check is off unless SCIPY_ARRAY_API is set",
}
ESTIMATORS = [PairedRidge(), PairedUnaligned(), PairedWarp(steps=2, rounds=1)]


def called(check):
    while hasattr(check, "func"):
        check = check.func
    return check.__name__


def checks(estimator):
    """scikit-learn's checks of an estimator, by their names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not inherit from `sklearn.base.BaseEstimator`")
        return [(called(check), check) for _, check in estimator_checks_generator(estimator)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator, check, id=f"{type(estimator).__name__}-{i}-{which}")
        for estimator in ESTIMATORS
        for i, (which, check) in enumerate(checks(estimator))
        if which not in LEFT_OUT
    ],
)
def test_estimator_checks(estimator, check):
    check(estimator)


def test_only_checks_that_exist_are_left_out():
    assert LEFT_OUT.keys() < {which for which, _ in checks(ESTIMATORS[0])}


@every
def test_clone_repr_and_pickle(spec):
    method = fitted(SPECS.index(spec))
    twin = clone(method)
    assert type(twin) is type(method)
    assert twin.get_params() == method.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(twin)
    check_is_fitted(method)
    assert eval(repr(method), {type(method).__name__: type(method)}).get_params() == method.get_params()
    assert repr(type(method)()) == f"{type(method).__name__}()"
    same(outputs(pickle.loads(pickle.dumps(method))), outputs(method))


@every
def test_parameters_are_set_all_or_none(spec):
    method = methods.build(spec)
    before = method.get_params()
    assert method.set_params(**before) is method
    assert method.get_params() == before
    with pytest.raises(InputError, match=r"has no option 'no_such'.* Known: "):
        method.set_params(**before, no_such=1)
    assert method.get_params() == before


def test_parameters_that_are_refused_leave_the_others_alone():
    warp = Warp()
    with pytest.raises(InputError, match="mass is a share"):
        warp.set_params(epsilon=0.1, mass=2.0)
    assert warp.epsilon == Warp().epsilon
    assert [warp.set_params(**each).cost for each in ParameterGrid({"cost": ["raw", "cca"]})] == ["raw", "cca"]


def test_what_follows_from_an_option_follows_it():
    warp = Warp()
    assert (warp.supervision, warp.role) == ("some", "method")
    warp.cost = "raw"
    assert (warp.supervision, warp.role) == ("none", "control")
    turning = methods.build({"kind": "wasserstein-procrustes"})
    turning.start = "gromov"
    assert turning.supervision == "none"
    heads = methods.build({"kind": "contrastive"}).set_params(width=3, hubness=False)
    assert heads.fit(*clouds(), np.arange(K)).embed(*clouds())[0].shape[1] == 3


@every
def test_options_that_were_set_are_checked_again_by_fit(spec):
    method = methods.build(spec)
    for option in method.get_params():
        kept = getattr(method, option)
        setattr(method, option, object())
        with pytest.raises(InputError, match=option):
            method.fit(*clouds(), np.arange(K))
        setattr(method, option, kept)


@every
def test_an_unfitted_method_is_scikit_learns_error_and_ours(spec):
    x, y = clouds()
    method = methods.build(spec)
    for call in (lambda: method.transform(x), lambda: method.embed(x, y), lambda: method.save("no-such-folder/file")):
        with pytest.raises(NotFittedError, match="expected a fitted method") as caught:
            call()
        assert isinstance(caught.value, InputError)
        assert type(pickle.loads(pickle.dumps(caught.value))) is errors.NotFittedError


def test_without_scikit_learn_the_error_is_ours_alone():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from ngw import Warp, errors\n"
        "try: Warp().transform([[1.0]])\n"
        "except errors.NotFittedError as error: print(type(error).__mro__[1].__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "InputError\n"


def test_pipeline_and_the_side_that_it_transforms():
    x, y = clouds()
    steps = [("scale", StandardScaler()), ("warp", Warp(steps=5))]
    line = Pipeline(steps).fit(x, y, warp__pairs=np.arange(K), warp__seed=1)
    scaled = StandardScaler().fit_transform(x)
    warp = Warp(steps=5).fit(scaled, y, np.arange(K), 1)
    same([line.transform(x)], [warp.transform(scaled)])
    same([line.inverse_transform(y)], [warp.inverse_transform(y) * x.std(0) + x.mean(0)], atol=1e-4)
    assert line.n_features_in_ == 8
    assert clone(line).set_params(warp__epsilon=0.1)["warp"].epsilon == 0.1
    assert "Warp(steps=5)" in repr(line)
    assert "Warp" in line._repr_html_()
    unpaired = Pipeline([("warp", Warp(cost="raw", steps=5))]).fit(x, y)
    same([unpaired.fit_transform(x, y)], [unpaired.transform(x)])


def test_no_second_cloud():
    with pytest.raises(InputError, match=r"y: expected a cloud \[n, d\], found shape \[\]"):
        Warp().fit(clouds()[0], None)


# Refits


@every
def test_a_refit_is_a_fit(spec):
    fresh = fitted(SPECS.index(spec))
    method = copy.copy(fresh)
    method.converged_, method.note_, method.ab_w1_, method.learned_ = False, "an earlier fit", np.ones((8, 8)), 3
    again = method.fit(*clouds(), np.arange(K))
    assert vars(again).keys() == vars(fresh).keys()
    assert (again.converged_, again.note_) == (fresh.converged_, fresh.note_)
    same(outputs(again), outputs(fresh))


@pytest.mark.parametrize("first", ["mlp", "residual"])
def test_a_warp_forgets_its_network(first):
    x, y = clouds()
    warp = Warp(map=first, hidden=8, steps=5).fit(x, y, np.arange(K))
    fresh = Warp(hidden=8, steps=5).fit(x, y, np.arange(K))
    same(outputs(warp.set_params(map="linear").fit(x, y, np.arange(K))), outputs(fresh))
    assert warp.n_parameters_ == fresh.n_parameters_


def hard(method):
    """Clouds on which a method does not converge: noise that shares nothing."""
    rng = np.random.default_rng(0)
    return method.fit(rng.standard_normal((60, 8)), rng.standard_normal((60, 6)), np.arange(4))


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "gromov", "starts": 6, "max_iter": 1, "tol": 1e-9},
        {"kind": "wasserstein-procrustes", "start": "gromov", "rounds": 1},
        {"kind": "wasserstein-procrustes", "rounds": 1},
    ],
    ids=name,
)
def test_a_status_is_that_of_the_last_fit(spec):
    x = np.random.default_rng(1).standard_normal((60, 5)) * [5, 4, 3, 2, 1]
    method = hard(methods.build(spec))
    assert not method.converged_
    easy = {"starts": 1, "clusters": 2, "tol": 1e6}
    method.set_params(**easy).fit(x, x, np.arange(4))
    fresh = methods.build({**spec, **easy}).fit(x, x, np.arange(4))
    assert (method.converged_, method.note_) == (fresh.converged_, fresh.note_) == (True, "")


def test_a_fit_that_fails_leaves_no_half():
    x, y = clouds()
    warp = Warp(steps=5).fit(x, y, np.arange(K))
    with pytest.raises(InputError, match="equal rows"):
        warp.fit(np.ones_like(x), y, np.arange(K))
    with pytest.raises(NotFittedError, match="expected a fitted method"):
        warp.transform(x)


def test_a_plan_for_other_clouds_leaves_a_fit_as_it_is():
    x, y = clouds()
    warp = Warp(steps=5).fit(x, y, np.arange(K))
    before = outputs(warp)
    warp.solve(y, x, np.arange(K))
    same(outputs(warp), before)


# Options changed after a fit


@every
def test_options_changed_after_a_fit_are_never_stale(spec, tmp_path):
    x, y = clouds()
    method = copy.copy(fitted(SPECS.index(spec)))
    changed = {"map": "mlp", "whiten": 1.5, "axes": "pca", "power": 1.0, "temperature": 0.5, "ridge": 2.0}
    option = next((o for o in method.get_params() if o in changed and getattr(method, o) != changed[o]), None)
    if option is None:
        return  # no hyperparameter at all
    before = getattr(method, option)
    setattr(method, option, changed[option])
    for call in (
        lambda: method.transform(x),
        lambda: method.inverse_transform(y),
        lambda: method.embed(x, y),
        lambda: method.save(tmp_path / "model.safetensors"),
    ):
        with pytest.raises(NotFittedError, match=f"found {option} .*, which was .*; fit it again"):
            call()
    setattr(method, option, before)
    same(outputs(method), outputs(fitted(SPECS.index(spec))))


def test_a_plan_with_other_coordinates_is_refused():
    x, y = clouds()
    warp = Warp(steps=5)
    plan = warp.solve(x, y, np.arange(K))
    warp.dims = 3
    with pytest.raises(InputError, match=r"expected targets of widths \[3, 3\], found \[8, 6\]; solve it again"):
        warp.fit_maps(x, y, np.arange(K), plan)
