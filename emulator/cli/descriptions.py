"""What ``--help`` says: one description a command."""

from dataclasses import dataclass

from emulator.cli.files import options, settings_text

PROGRAM = "sink-emulator"


@dataclass(frozen=True)
class Command:
    """What the help says about a command.

    Attributes:
        summary: One line in the list of commands.
        text: The rest: what it reads and writes.
        examples: Lines that work as they stand, or nearly.
        groups: Groups of ``conf/`` that it chooses from.
        usage: What follows the command's name.
    """

    summary: str
    text: str
    examples: tuple[str, ...]
    groups: tuple[str, ...] = ()
    usage: str = "[options] [KEY=VALUE ...]"


COMMANDS = {
    "demo": Command(
        summary="the whole path on a simulated Earth, in minutes",
        text="Simulates a small Earth with ten process models, prepares it, trains\n"
        "a network for the land and one for the ocean, evaluates both and writes a\n"
        "sink map. Needs no data and no internet.",
        examples=("demo", "demo grid_step=10 first=1980"),
    ),
    "catalog": Command(
        summary="what can be used: list, show, check NAME; fetch NAME gets it",
        text="'list' names every product, 'show NAME' prints its entry, 'check NAME'\n"
        "reads its files and says whether they are complete and sane: files, period,\n"
        "grid, units, sign, totals by decade, closure, coverage. Several names are\n"
        "checked one after the other, and of a round such as trendy_v14 every model\n"
        "that has files. A workbook of the Global Carbon Budget, workbook=FILE or one\n"
        "that was fetched, puts the model's column beside its totals. Exit code 1 if\n"
        "something must be mended.\n"
        "'fetch NAME' brings what is lacking of its files below paths.data, goes on\n"
        "with what broke off, and keeps checksums there, in checksums.lock. Exit code\n"
        "3 if a source failed: the same command goes on. Logins are read from\n"
        "~/.netrc; policies that want it are accepted by name.",
        examples=(
            "catalog list",
            "catalog show lpjwsl",
            "catalog check lpjwsl",
            "catalog check trendy_v14 workbook=Global_Carbon_Budget_2024_v1.0.xlsx",
            "catalog check lpjwsl --json",
            "catalog fetch trendy_v14.clm variables=[nbp] accept=[trendy_v14]",
            "catalog fetch oisst years=[2020,2024] dry_run=true",
        ),
        usage="[options] list | show NAME | check NAME ... | fetch NAME ..."
        " [paths.data=FOLDER] [workbook=FILE] [KEY=VALUE ...]",
    ),
    "prepare": Command(
        summary="files of teachers and forcing in, one training store out",
        text="Reads the catalog entries that a data config names, brings them to one\n"
        "grid and writes stores/NAME-<hash>.zarr. A store that is there already stays\n"
        "as it is. 'forcing=NAME' does the same without teachers.",
        examples=("prepare data=testbed_land", "prepare forcing=lpjwsl_forcing"),
        groups=("data", "forcing"),
    ),
    "map": Command(
        summary="one forcing product as another would tell it",
        text="Learns from the years that two prepared stores share how the forcing of\n"
        "the one must be changed to be that of the other, month by month and cell by\n"
        "cell, so that networks can run on a product that their teachers did not see.\n"
        "Prints what is left in withheld years, and writes stores/maps/NAME-<hash>\n"
        "(fit.zarr, shift.md, shift.json) and the mapped store, with which nights\n"
        "begin; their source then says mapped_by=stores/maps/NAME-<hash>. With run=\n"
        "it also tells what the product costs in carbon. 'by' takes a map that was\n"
        "learned before.",
        examples=(
            "map product=era5_land onto=crujra_land",
            "map product=era5_land onto=crujra_land methods.pr=quantiles",
            "map product=era5_land onto=stores/trendy-0123abcd.zarr run=runs/RUN",
            "map product=era5_longer by=stores/maps/era5_onto_crujra-0123abcd",
        ),
    ),
    "train": Command(
        summary="fit an emulator; -m sweeps",
        text="Trains on the store of data=NAME, which is prepared first where it is\n"
        "missing, and writes runs/<id>/. The same settings resume an unfinished run\n"
        "and find a finished one done. With -m every comma list is swept, one run\n"
        "after the other or hydra.launcher.n_jobs=N at once; runs that fail stop no\n"
        "other, are listed at the end and are tried again by the same command.",
        examples=(
            "train data=testbed_land model=recurrent",
            "train experiment=lpjwsl paths.data=/where/the/files/are",
            "train -m data=testbed_land model=pointwise,recurrent seed=0,1",
            "train -m experiment=ablation_memory paths=demo",
        ),
        groups=(
            "data",
            "split",
            "model",
            "learning",
            "machine",
            "logger",
            "paths",
            "experiment",
        ),
    ),
    "calibrate": Command(
        summary="forecast from earlier years, for intervals that hold what they say",
        text="Fits the members of a run again on the labels up to some earlier years\n"
        "(origins), lets them forecast the years after, and writes what their errors\n"
        "say, calibration.json and calibration_errors.npz, into the run's folder.\n"
        "Test years are not looked at, but forecasts go on as many years as lie from\n"
        "the last label to the third test year, gap included, unless 'leads' says\n"
        "otherwise. It takes about as long as training, times the origins; what is\n"
        "finished is found by the same command. Then 'evaluate' tests the intervals\n"
        "and 'predict' writes them.",
        examples=(
            "calibrate run=runs/NAME-0123abcd",
            "calibrate run=runs/NAME-0123abcd origins=[1974,1984] leads=10",
        ),
    ),
    "backcast": Command(
        summary="what would have been published at the end of a month, years ago",
        text="For each year and each number of its months that were known, estimates\n"
        "the sink from what had appeared by then: networks are fitted anew for every\n"
        "edition of the labels, later labels, forcing and CO2 are cut off. Writes\n"
        "skill against the months known, every estimate and a figure into\n"
        "runs/<id>/backcast/<hash>. Networks that are finished are found by the same\n"
        "command. A run is given by its folder, or stated by an experiment.",
        examples=(
            "backcast run=runs/NAME-0123abcd",
            "backcast run=runs/NAME-0123abcd backcast.years=[2015,2024]",
            "backcast experiment=e9 paths=demo",
        ),
        groups=(
            "data",
            "split",
            "model",
            "learning",
            "machine",
            "logger",
            "paths",
            "experiment",
        ),
    ),
    "evaluate": Command(
        summary="score a run on held-out years, baselines beside it",
        text="Writes scorecard.json, scorecard.md and figures into the run's folder.\n"
        "'split=validation' is for choices before test years are read, and\n"
        "'split=withheld' scores the years of split.withheld. 'sweep=NAME' scores the\n"
        "finished runs of a sweep; a run that has a scorecard of the same settings,\n"
        "networks and intervals is left alone.",
        examples=(
            "evaluate run=runs/NAME-0123abcd",
            "evaluate run=runs/NAME-0123abcd split=withheld",
            "evaluate sweep=ablation_memory paths=demo",
        ),
        groups=("logger",),
    ),
    "compare": Command(
        summary="a table over runs, with bootstrap intervals",
        text="Reads the scorecards of the runs of a sweep, or of runs that are named,\n"
        "and writes comparison.csv, comparison.md and a figure, comparison.png and\n"
        "comparison.pdf: means over seeds, differences in the same years.",
        examples=(
            "compare sweep=ablation_memory paths=demo",
            "compare 'sweep=ablation_inductive_bias_*' paths=demo",
            "compare 'runs=[runs/a-0123abcd,runs/b-4567cdef]'",
        ),
    ),
    "promote": Command(
        summary="make a run the one that nights use, if it is good enough",
        text="Copies a scored run to models/DOMAIN/NUMBER-RUN with promotion.json and\n"
        "a model card, and lets models/DOMAIN/current lead there. Refuses a run that\n"
        "does not beat its baselines on its test years, or is worse than the champion\n"
        "beyond the interval of their difference.",
        examples=(
            "promote run=runs/lpjwsl-0123abcd",
            "promote run=runs/lpjwsl-0123abcd force=true reason='first of its kind'",
            "promote rollback=true domain=land",
        ),
    ),
    "predict": Command(
        summary="run emulators on forcing and write a sink map",
        text="Takes a land run, an ocean run or both; writes a Zarr sink map and\n"
        "sink.nc beside it. 'current' is the champion of `promote`.",
        examples=(
            "predict land=runs/lpjwsl-0123abcd ocean=runs/mitgcm-4567cdef",
            "predict land=runs/lpjwsl-0123abcd forcing=lpjwsl_forcing map.grid=5",
            "predict land=current ocean=current",
        ),
    ),
    "nightly": Command(
        summary="new forcing in, new sink map out; or status, health, replay",
        text="Asks the sources for new forcing, predicts what changed, holds\n"
        "the map against its gates and publishes it with tables and page. Killed at\n"
        "any moment it leaves the last night whole; the same command goes on. Exits\n"
        "with 0 (done, or nothing new), 1 (an error to mend), 3 (a source failed) or\n"
        "4 (the new map cannot be right); the old map stays. 'status' prints how the\n"
        "last night ended, 'health' exits with 1 if something is wrong, 'replay' runs\n"
        "the nights of some days again, into ROOT-replay. docs/operations.md says how\n"
        "to run it from cron or systemd.",
        examples=(
            "nightly ocean=null forcing=lpjwsl_forcing land_source.url=/new/months",
            "nightly nightly=era5 forcing=mine",
            "nightly dry_run=true",
            "nightly health",
            "nightly replay --from 2025-07-01 --to 2025-07-31",
        ),
        groups=("source", "nightly"),
        usage="[options] [status | health | replay] [KEY=VALUE ...]",
    ),
    "adapt": Command(
        summary="a new teacher from a few years of its labels",
        text="Leaves all weights of a run as they are and fits what stands for one\n"
        "teacher, its embedding and reference, on the last years of labels of a\n"
        "teacher that the run never saw. Writes networks that know this teacher, and\n"
        "adapt.csv, adapt.md and adapt.png: skill against years of labels, beside\n"
        "baselines that know the same years and a run that learned all.",
        examples=(
            "adapt run=runs/NAME-0123abcd store=stores/ALL-4567cdef",
            "adapt run=RUN store=STORE teachers=[CEDAR] years=[5] full=RUN_OF_ALL",
            "adapt sweep=new_teacher paths=demo",
        ),
    ),
    "ensembles": Command(
        summary="few live models for the mean of all, with and without emulators",
        text="Reads the land models' annual sinks of an edition of the Global Carbon\n"
        "Budget and says how well a few of them, moved to the level of all, stand for\n"
        "the mean of all, and what emulators of the others would add. Writes\n"
        "ensembles.csv, ensembles.md and ensembles.png.",
        examples=(
            "ensembles workbook=Global_Carbon_Budget_2024_v1.0.xlsx",
            "ensembles workbook=Global_Carbon_Budget_2024_v1.0.xlsx ensembles.live=[3]",
            "ensembles experiment=e6 workbook=Global_Carbon_Budget_2024_v1.0.xlsx",
        ),
    ),
}


def details(name: str) -> str:
    """Return the examples, the choices and the settings of a command."""
    command = COMMANDS[name]
    lines = ["examples:"]
    lines += [f"  {PROGRAM} {example}" for example in command.examples]
    if command.groups:
        lines += ["", "choices (GROUP=NAME):"]
    for group in command.groups:
        lines.append(f"  {group:11s}{', '.join(options(group)) or '-'}")
    settings = settings_text(name)
    if settings:
        lines += ["", "settings and their defaults (KEY=VALUE changes one):"]
        lines += [f"  {line}" for line in settings.splitlines()]
    return "\n".join(lines)
