"""Between the regions, their layer and obs: whatever changes in one reaches the others."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import QObject, QTimer, Signal

from ...core.errors import ParameterError
from ..background import Background
from ..guard import Failure, slot
from ..model import Item
from ..session import Session
from . import shapes_layer
from .board import Board
from .regions import NO_CLASS, Regions, Shape

__all__ = ["Editor"]

_WAIT = 120
"""Milliseconds after a change of a shape until it is written."""
_MANY = 30_000
"""Spots above which shapes are looked through in a worker."""


class Editor(QObject):
    """The regions that are edited; ``changed()`` after each change, ``failed(Failure)``.

    Attributes
    ----------
    board
        The regions, or None.
    layer
        Their Shapes layer, or None while nothing is drawn.
    active
        Class that is given to what is drawn next.
    """

    changed = Signal()
    tool_changed = Signal()
    failed = Signal(object)

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self.session = session
        self.board: Board | None = None
        self.layer: Shapes | None = None
        self.active = NO_CLASS
        self._boards: dict[tuple[str, str], Board] = {}
        self._count = 0
        self._drawing = self._quiet = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_WAIT)
        self._timer.timeout.connect(self._sync)
        self._worker = Background(self)
        self._worker.done.connect(self._on_covered)
        self._worker.failed.connect(self.failed)
        session.obs_changed.connect(self._on_obs)
        if session.viewer is not None:
            session.viewer.layers.events.inserted.connect(self._on_layers)
            session.viewer.layers.events.removed.connect(self._on_layers)

    def open(self, item: Item | None, column: str) -> None:
        """Take up the regions of a section and column; none where the column is another's."""
        viewer, layer = self.session.viewer, None
        self.board = None
        if item is not None and viewer is not None:
            layer = shapes_layer.find(viewer, item, column)
            board = self._boards.get((item.id, column))
            try:
                if board is None or board.section is not item.section:
                    board = Board(item, column, layer)
                self.board = self._boards[item.id, column] = board
            except ParameterError as error:
                self.failed.emit(Failure(error))
        self._follow(layer if self.board is not None else None)
        self.changed.emit()

    def forget(self, section_id: str) -> None:
        """A section was read again or shown anew; its regions stay if it is the same one."""
        self._timer.stop()
        for key, board in list(self._boards.items()):
            if key[0] == section_id and board.section is not board.item.section:
                del self._boards[key]

    def settled(self) -> Board | None:
        """The regions, with every change of a shape taken in."""
        if self._timer.isActive():
            self._timer.stop()
            self._sync()
        return self.board

    def change(self, state: Regions, source: str | None = None) -> None:
        """Make an edit; ``source`` is a file that says the same."""
        if self.board is not None:
            self.board.edit(state)
            self.board.source = source
            self._edited()

    def undo(self) -> None:
        """Take the last change back."""
        board = self.settled()
        if board is not None:
            board.undo()
            self._edited()

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        board = self.settled()
        if board is not None:
            board.redo()
            self._edited()

    def choose(self, name: str) -> None:
        """Give what is drawn next a class."""
        if name != self.active:
            self.active = name
            self._paint()

    def give(self) -> str:
        """The class that is given; the first one is made where there is none yet."""
        board = self.board
        assert board is not None
        if not board.state.names:
            board.edit(board.state.with_class())
            self.active = board.state.names[0]
            self.changed.emit()
        return self.active

    def show(self, *, needed: bool = False) -> None:
        """Bring the layer up to date; it is made where there are shapes, or where needed."""
        board, viewer = self.board, self.session.viewer
        if board is None or viewer is None:
            return
        self._quiet = True
        try:
            layer = shapes_layer.find(viewer, board.item, board.column)
            if layer is None and (board.state.shapes or needed):
                layer = shapes_layer.make(viewer, board.item, board.column)
            self._follow(layer)
            if layer is not None and not board.knows(shapes_layer.read(layer, board.item)):
                shapes_layer.write(layer, board.state.shapes, board.item, board.state)
            self._count = len(layer.data) if layer is not None else 0
            self._paint()
        finally:
            self._quiet = False

    def _follow(self, layer: Shapes | None) -> None:
        """Listen to the layer of the regions and to no other."""
        if self.layer is layer:
            return
        if self.layer is not None:
            self.layer.events.data.disconnect(self._on_data)
            self.layer.events.mode.disconnect(self._on_mode)
        self.layer, self._drawing = layer, False
        if layer is not None and self.board is not None:
            shapes_layer.ready(layer, self.board.item)
            self._count = len(layer.data)
            layer.events.data.connect(self._on_data)
            layer.events.mode.connect(self._on_mode)
            self._paint()
        self.tool_changed.emit()

    def _paint(self) -> None:
        """Colours of the shapes, and of the next one."""
        if self.layer is not None and self.board is not None:
            shapes_layer.paint(self.layer, self.board.state)
            shapes_layer.next_class(self.layer, self.active, self.board.state)

    @slot
    def _on_data(self, event: Any) -> None:
        action = str(getattr(event.action, "value", event.action)).lower()
        if self._quiet or self.layer is None or self.board is None:
            return
        if action.endswith("ing"):
            self._drawing = action == "adding"
            return
        self._drawing = False
        count = len(self.layer.data)
        if count > self._count:
            shapes_layer.mark(self.layer, self._count, self.give())
        self._count = count
        self._timer.start()

    @slot
    def _on_mode(self) -> None:
        self.tool_changed.emit()

    @slot
    def _on_layers(self) -> None:
        """Layers came or went: the regions' own may be one of them."""
        viewer, board = self.session.viewer, self.board
        if viewer is None or self._quiet:
            return
        if board is not None:
            layer = shapes_layer.find(viewer, board.item, board.column)
            if layer is not self.layer:
                self._follow(layer)
                # It may come back at once, where a section is shown anew.
                self._timer.start()
        self.tool_changed.emit()

    @slot
    def _sync(self) -> None:
        """Take in what was drawn, moved or removed."""
        board, layer = self.board, self.layer
        if board is None or self._drawing or board.item.id not in self.session.items:
            return
        if layer is None:
            # Whoever deletes the layer keeps the spots.
            if board.state.shapes:
                codes = board.state.codes
                board.edit(board.state.with_shapes((), board.coords).taken_up(codes))
                self._edited()
            return
        shapes = shapes_layer.read(layer, board.item)
        if board.knows(shapes):
            self._paint()
        elif board.section.n_spots > _MANY:
            self._worker.start(_covered, board, board.state, shapes)
        else:
            board.edit(board.state.with_shapes(shapes, board.coords))
            self._edited()

    @slot
    def _on_covered(self, answer: tuple[Board, Regions, Regions]) -> None:
        board, before, after = answer
        if board is not self.board:
            return
        if board.state is before:
            board.edit(after)
            self._edited()
        else:
            self._timer.start()

    @slot
    def _on_obs(self, section_id: str) -> None:
        """Somebody wrote columns: take the regions up anew where it was theirs."""
        board = self.board
        if board is None or self._quiet or board.item.id != section_id:
            return
        if not self._timer.isActive() and not board.current:
            del self._boards[section_id, board.column]
            self.open(board.item, board.column)

    def _edited(self) -> None:
        """Show and write the present state."""
        board = self.board
        assert board is not None
        self.show()
        if board.write():
            self._quiet = True
            try:
                self.session.obs_written(board.item.id)
            finally:
                self._quiet = False
        self.changed.emit()

    def show_failure(self, failure: Failure) -> None:
        """Hand on what went wrong."""
        self.failed.emit(failure)


def _covered(board: Board, before: Regions, shapes: list[Shape]) -> tuple[Board, Regions, Regions]:
    return board, before, before.with_shapes(shapes, board.coords)
